"""Each convolution that scoring on a processor computes by itself, against the one that training has, in turns.

    python benchmarks/convolutions.py [--threads 1] [--patches 510] [--repetitions 20]

Prints processor time a patch, median of the repetitions, and the median, least and largest of the ratios of neighbors
in time.  This chose which convolutions `with_fast_convolutions` replaces.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from patch2loc.network.fast_convolution import with_fast_convolutions
from patch2loc.network.location import LocationNetwork, for_inference

SIZE = 7  # of the first layer's maps, of a patch of 24 voxels


def main() -> None:
    """Time every convolution that is replaced, and all layers together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--patches", type=int, default=510)
    parser.add_argument("--repetitions", type=int, default=20)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    network = LocationNetwork().eval()
    plain, fast = layers(network), layers(network)
    x = torch.rand(chosen.patches, network.widths[0], SIZE, SIZE).to(memory_format=torch.channels_last)
    with_fast_convolutions(fast, x[:1])
    seen = {}
    for name, convolution in plain.named_modules():
        module = fast.get_submodule(name)
        if isinstance(convolution, nn.Conv2d) and not isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _, given, __, name=name: seen.update({name: given[0].clone()})
            )
    with torch.inference_mode():
        fast(x)
        for name, maps in seen.items():
            ways = plain.get_submodule(name), fast.get_submodule(name)
            inputs = maps.contiguous(memory_format=torch.channels_last), maps
            compare(f"{name} {type(ways[1]).__name__}", ways, inputs, chosen.repetitions)
        compare("all layers", (plain, fast), (x, x), chosen.repetitions)


def layers(network: LocationNetwork) -> nn.Sequential:
    """The four layers of the encoder, ready for inference, with the convolutions of training."""
    encoder = for_inference(network).encoder
    return nn.Sequential(encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)


def compare(name: str, ways: tuple[nn.Module, ...], inputs: tuple[Tensor, ...], repetitions: int) -> None:
    """Print the processor time of two ways, in turns, microseconds a patch."""
    seconds: list[list[float]] = [[], []]
    for _ in range(repetitions):
        for way, maps, taken in zip(ways, inputs, seconds, strict=True):
            # A copy, as layers change their input in place, made before the clock starts.
            given = maps.clone()
            start = time.process_time()
            way(given)
            taken.append(time.process_time() - start)
    before, after = (1e6 * median(taken) / len(inputs[0]) for taken in seconds)
    ratios = [one / other for one, other in zip(*seconds, strict=True)]
    print(
        f"{name:32} {before:7.1f} {after:7.1f} us  {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
