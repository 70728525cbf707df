"""No data sets on disk: the family makes its data in memory."""

from thalweg.dataset_contract import PublicDataset, SyntheticDataset

WORLDS: dict[str, SyntheticDataset] = {}
SOURCES: dict[str, PublicDataset] = {}
