"""What samples are worth: rewards from the verifier, advantages over the group, weights of tokens in the loss."""
