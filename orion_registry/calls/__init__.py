"""What the end of a gRPC call means, whoever called whom. Imports no gRPC: it goes by texts and tasks."""
