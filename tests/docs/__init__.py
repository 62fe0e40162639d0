"""The docs: what is made from the protos, links, commands and promises that they name."""
