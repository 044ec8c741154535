"""Tables and pictures: all of them views of the ledger, so that each can be written again."""
