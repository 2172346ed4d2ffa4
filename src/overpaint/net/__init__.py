"""What comes over the network: pictures and answers, each with a limit on bytes and time."""
