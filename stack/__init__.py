"""The whole mesh on one machine: real servers on private ports, one data folder, one supervisor."""
