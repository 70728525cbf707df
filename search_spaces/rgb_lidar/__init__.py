"""What to ask of the fusion of camera and LiDAR: `fusion.py` is the space `rgb_lidar_fusion`."""
