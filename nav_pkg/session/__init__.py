"""A series of flights: its folders, the ROS graph that it monitors and restarts, and parallel sessions."""
