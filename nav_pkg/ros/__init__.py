"""Node shells: messages to core types and back. The only place that imports rospy."""
