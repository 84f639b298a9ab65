"""The towers: what survives pretraining. Encoders, pools and projections; no losses, no randomness of their own."""

from dataclasses import replace

from torch import nn

from ecgfm.data.record import OTHERS
from ecgfm.model.aggregate import Aggregate
from ecgfm.model.config import TowerConfig
from ecgfm.model.ecg import EcgTower
from ecgfm.model.text import TableConfig, TextTable, TextTower


class Towers(nn.Module):
    """Everything that the config names, and nothing else: no text tower where `config.text` is None.

    With `pretrained` False the text encoder's weights are left random, for a checkpoint that is to fill them.
    """

    def __init__(self, config: TowerConfig, pretrained: bool = True):
        super().__init__()
        self.config = config
        aggregates = [pool for pool in config.pools.values() if isinstance(pool, Aggregate)]
        own = {name for pool in aggregates for name in pool.encoders}
        apart = 0 < len(config.pools) == sum(pool.own for pool in aggregates)
        self.ecg = None if apart else EcgTower(config)  # which no pool would read
        self.others = nn.ModuleDict({kind: EcgTower(replace(config, leads=OTHERS[kind])) for kind in config.others})
        self.groups = nn.ModuleDict({name: EcgTower(config) for name in sorted(own)})
        self.pools = nn.ModuleDict({name: p.build(config.width, config.width) for name, p in config.pools.items()})
        self.text: TextTower | TextTable | None = None
        if isinstance(config.text, TableConfig):
            self.text = TextTable(config.text, config.width)
        elif config.text is not None:
            self.text = TextTower(config.text, config.width, config.dropout, pretrained)
