"""A series of flights: folders, the ROS graph that is watched and started again, sessions side by side."""
