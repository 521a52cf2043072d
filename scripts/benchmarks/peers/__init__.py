"""The systems that are compared, one module each, under one small interface."""

from __future__ import annotations

from .base import Peer, Runner, UnavailableError
from .c import C
from .casadi import CasADi
from .heyoka import Heyoka
from .jax import Jax
from .lambdify import Lambdify, LambdifyNumba
from .numexpr import NumExpr
from .symgrad import Symgrad, SymgradBound, SymgradOut
from .torch import Torch, TorchCompile

__all__ = ["PEERS", "Peer", "Runner", "UnavailableError"]

#: All systems in the order of the tables; symgrad first.
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        SymgradBound(),
        SymgradOut(),
        Symgrad(),
        C(),
        Heyoka(),
        TorchCompile(),
        Torch(),
        Jax(),
        LambdifyNumba(),
        Lambdify(),
        NumExpr(),
        CasADi(),
    )
}
