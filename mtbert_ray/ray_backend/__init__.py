"""Trials on Ray: what a cluster has room for, and the launchers that run one trial."""
