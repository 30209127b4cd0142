"""Train the tiny Mixtral on the shards of the corpus; stop and go on at any checkpoint.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 train.py --out /tmp/tiny-train --steps 1250

One process with one thread per core, each with its part of every batch: on a machine shared with
others that was ten times faster than one process with two threads, which wait for each other at
every product.

The learning rate warms up, stays, and falls to zero over the last `--decay` steps, so that a
longer run can go on from the checkpoint where a shorter one began to decay. Matrices are trained
with Muon (momentum, then the nearest orthogonal matrix by a Newton-Schulz iteration; K. Jordan
2024), the embedding, output, router and norms with AdamW.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from corpus import ROW_LENGTHS
from model import TinyConfig, TinyMixtral
from torch import Tensor

log = logging.getLogger("train")
Micro = tuple[Tensor, Tensor, Tensor]  # ids, documents, weights; each (N, T)


def orthogonal(g: Tensor, n_steps: int = 5) -> Tensor:
    """Return the nearly orthogonal matrices closest to a batch g: (B, R, C), R <= C."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(n_steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.float()


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal; the processes share the matrices among them."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": 0.2})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every matrix once; matrices of one shape are handled in one batch."""
        rank, n_ranks = dist.get_rank(), dist.get_world_size()
        group = self.param_groups[0]
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for p in group["params"]:
            by_shape.setdefault(p.shape[-2:], []).append(p)
        for shape, params in by_shape.items():
            moments = torch.cat([self.momentum(p, group).view(-1, *shape) for p in params])
            updates = torch.zeros_like(moments)
            updates[rank::n_ranks] = orthogonal(moments[rank::n_ranks])
            dist.all_reduce(updates)
            updates *= max(1.0, shape[0] / shape[1]) ** 0.5
            parts = updates.split([p.numel() // (shape[0] * shape[1]) for p in params])
            for p, update in zip(params, parts, strict=True):
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update.view_as(p), alpha=-group["lr"])

    def momentum(self, p: Tensor, group: dict[str, float]) -> Tensor:
        """Return the Nesterov momentum of one parameter."""
        state = self.state[p]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        state["buffer"].lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(state["buffer"], group["momentum"])


def average_gradients(model: TinyMixtral) -> None:
    """Add the gradients of all processes; each has divided by the weight of the whole batch."""
    params = list(model.parameters())
    flat = torch.cat([p.grad.flatten() for p in params])
    dist.all_reduce(flat)
    for p, part in zip(params, flat.split([p.numel() for p in params]), strict=True):
        p.grad.copy_(part.view_as(p))


def batches(out: Path, n_shards: int, batch_tokens: int, seed: int) -> Iterator[list[Micro]]:
    """Yield the micro-batches of one step after another, shard by shard, endlessly."""
    epoch = 0
    while True:
        for shard in range(n_shards):
            rng = np.random.default_rng((seed, epoch, shard))
            data = np.load(out / f"train_{shard:02}.npz")
            size = sum(data[f"ids_{length}"].size for length in ROW_LENGTHS)
            n_steps = size // batch_tokens
            plans = {}
            for length in ROW_LENGTHS:
                order = rng.permutation(len(data[f"ids_{length}"]))
                plans[length] = np.array_split(order, n_steps)
            arrays = {k: data[k] for k in data.files}
            for i in range(n_steps):
                yield [micro(arrays, n, plans[n][i]) for n in ROW_LENGTHS if len(plans[n][i])]
        epoch += 1


def micro(arrays: dict[str, np.ndarray], length: int, rows: np.ndarray) -> Micro:
    """Take rows of one length out of a shard."""
    ids = torch.from_numpy(arrays[f"ids_{length}"][rows].astype(np.int64))
    documents = torch.from_numpy(arrays[f"documents_{length}"][rows])
    return ids, documents, torch.from_numpy(arrays[f"weights_{length}"][rows].astype(np.float32))


def losses(model: TinyMixtral, batch: Micro) -> tuple[Tensor, Tensor]:
    """Return the summed weighted loss of the next tokens and the balancing loss."""
    ids, documents, weights = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, balance, _ = model(ids, documents)
    same = documents[:, 1:] == documents[:, :-1]
    weight = (weights[:, 1:] * same).flatten()
    keep = weight.nonzero()[:, 0]
    each = F.cross_entropy(
        logits[:, :-1].flatten(0, 1)[keep].float(), ids[:, 1:].flatten()[keep], reduction="none"
    )
    return (each * weight[keep]).sum(), balance


def optimizers(model: TinyMixtral, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Give the matrices to Muon and the rest to AdamW."""
    matrices, rest = [], []
    for name, p in model.named_parameters():
        is_matrix = p.dim() >= 2 and not any(s in name for s in ("token_embd", "output.w", "_inp"))
        (matrices if is_matrix else rest).append(p)
    adam = torch.optim.AdamW(rest, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    return [Muon(matrices, lr=args.muon_lr), adam]


def rate(step: int, args: argparse.Namespace) -> float:
    """Return the factor of the learning rate at a step."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    return min(1.0, (args.steps - step) / max(1, args.decay))


def save(path: Path, model: TinyMixtral, opts: list[torch.optim.Optimizer], step: int) -> None:
    """Write a checkpoint; a broken write never replaces a good one."""
    state = {"model": model.state_dict(), "step": step, "opts": [o.state_dict() for o in opts]}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def one_step(
    model: TinyMixtral,
    opts: list[torch.optim.Optimizer],
    step_batch: list[Micro],
    balance_by: float,
) -> tuple[float, float]:
    """Do one update; return its loss per unit of weight and its balancing loss."""
    rank, n_ranks = dist.get_rank(), dist.get_world_size()
    total = sum(float(m[2].sum()) for m in step_batch)
    tokens = sum(m[0].numel() for m in step_batch)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    seen = torch.zeros(2)
    for batch in step_batch:
        mine = tuple(x[rank::n_ranks] for x in batch)
        if not len(mine[0]):
            continue
        loss, balance = losses(model, mine)
        part = mine[0].numel() / tokens
        (loss / total + balance_by * part * balance).backward()
        seen += torch.tensor([float(loss.detach()) / total, part * float(balance.detach())])
    average_gradients(model)
    dist.all_reduce(seen)
    torch.nn.utils.clip_grad_norm_(opts[1].param_groups[0]["params"], 1.0)
    for opt in opts:
        opt.step()
    return float(seen[0]), float(seen[1])


def main() -> None:
    """Train from the newest checkpoint to `--steps`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("/tmp/tiny-train"))
    parser.add_argument("--name", default="run", help="of the checkpoint files")
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=1250)
    parser.add_argument("--decay", type=int, default=1150)
    parser.add_argument("--warmup", type=int, default=30)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--muon-lr", type=float, default=0.015)
    parser.add_argument("--adam-lr", type=float, default=5e-3)
    parser.add_argument("--balance", type=float, default=0.01)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    level = logging.INFO if dist.get_rank() == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.manual_seed(args.seed)
    model = TinyMixtral(TinyConfig())
    opts = optimizers(model, args)
    first = 0
    if args.resume:
        state = torch.load(args.resume)
        model.load_state_dict(state["model"])
        for opt, saved in zip(opts, state["opts"], strict=True):
            opt.load_state_dict(saved)
        first = state["step"]
    stream = batches(args.out, args.shards, args.batch_tokens, args.seed)
    for _ in range(first):
        next(stream)
    began, seen, recent = time.monotonic(), 0, []
    for step in range(first, args.steps):
        for opt, lr in zip(opts, (args.muon_lr, args.adam_lr), strict=True):
            opt.param_groups[0]["lr"] = lr * rate(step, args)
        step_batch = next(stream)
        recent.append(one_step(model, opts, step_batch, args.balance))
        seen += sum(m[0].numel() for m in step_batch)
        if (step + 1) % 25 == 0 or step + 1 == args.steps:
            loss, balance = np.mean(recent, axis=0)
            speed = seen / (time.monotonic() - began)
            log.info("step %d loss %.4f balance %.3f %.0f tok/s", step + 1, loss, balance, speed)
            recent = []
        is_last = step + 1 == args.steps
        if dist.get_rank() == 0 and (is_last or (step + 1) % args.save_every == 0):
            save(args.out / f"{args.name}_{step + 1:05}.pt", model, opts, step + 1)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
