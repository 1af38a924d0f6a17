"""Tables, figures and pages made from datasets, run logs and training logs. Needs no ROS."""
