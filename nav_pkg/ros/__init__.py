"""ROS nodes: they convert messages to core types and back. Only this package imports rospy."""
