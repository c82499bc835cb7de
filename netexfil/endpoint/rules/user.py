"""The user's Sigma rules (extra `sigma`) as SQL over table `event`."""
