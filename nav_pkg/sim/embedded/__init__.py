"""The embedded simulator: the same worlds, robots and flights as in Gazebo, within one Python process.

It needs neither ROS nor Gazebo nor an X server: moderngl renders (EGL or OSMesa), a small C++ library
(src/embedded) computes the robot's motion and the lidar. docs/simulator.md compares it with Gazebo.
"""
