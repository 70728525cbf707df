"""Earlier texts of the search spaces that asked and returned the same, so that their studies go on."""

SAME = {
    "c521bb19fec62426": "efb994dc62034eb6",  # rgb_lidar_ablation
    "043bf39d95d250f6": "2dc023a762c9055a",  # rgb_lidar_chain
    "4322de2bd7581c1f": "a6dd4d79b922afd4",  # rgb_lidar_cilp
    "21dc16812760cde8": "e5d85c9526f0c9ce",  # rgb_lidar_data_fraction
    "f05768bd880990ea": "26a2671e10b468cc",  # rgb_lidar_downsampling
    "4a78774ed3f8be87": "5c5c025de2a9004a",  # rgb_lidar_full
    "97fc209ca11f9247": "bbdd6dfb3aaad905",  # rgb_lidar_fusion
    "9ca8319f24cb8888": "bf9ffa62a7799957",  # rgb_lidar_fusion_seeds
    "9a90b591f65c08d9": "9f48abb832a4b488",  # rgb_lidar_projector
    "122ef8fb3056cf2a": "5df73a587646cc18",  # rgb_lidar_published
    "74f5d12b4547ad98": "fb334ab3c23fcd7c",  # rgb_lidar_published_second
    "596635cb35763f77": "72805d3cf7e5c866",  # water_mae_architecture
    "a727cdd81d3518fd": "12f7955fff685da6",  # water_mae_forecast
    "52b7b741dff3b93f": "f2b1288f005414be",  # water_mae_full
    "583d5f946efa4fa4": "3e093aa0ba39995c",  # water_mae_gb
    "fb038b7d0dee62fb": "7d6b9967ef046018",  # water_mae_losses
    "75c37d4dd8f76393": "1e7b0b81d6032dee",  # water_mae_masking
    "04ef89bc6618c6bd": "2d9f571d2d202842",  # water_mae_published
    "7fdb2dcc77f0559b": "832422b4daf317d6",  # water_mae_systems
    "d126aa550a9e811d": "5c5c025de2a9004a",  # rgb_lidar_full
    "916c9fc3b5a587bb": "f2b1288f005414be",  # water_mae_full
    "5f48b6a179addc02": "3e093aa0ba39995c",  # water_mae_gb
}
"""Fingerprints of earlier texts, each with that of today's; a space that changes its question loses its line."""
