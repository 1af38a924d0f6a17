"""The dataset: written, read, verified, repaired, cleaned and imported, without ROS."""
