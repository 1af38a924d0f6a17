"""Datasets: writing, reading, verification, repair, cleaning and import, all without ROS."""
