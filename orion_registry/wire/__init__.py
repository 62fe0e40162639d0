"""The only room that converts protobuf to the model and back, and errors to statuses. Codes are numbers: no grpc."""
