# What the file calls the tensors of a batch norm.
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}


def load(path):
    """The network with the weights of the safetensors file at `path`, in inference."""
    network = Network().eval()
    left = {name.replace(".", "_"): tensor for name, tensor in load_file(path).items()}
    with torch.no_grad():
        for name, layer in network.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                for theirs, ours in NORM.items():
                    # A norm without a scale keeps PyTorch's, which is one.
                    if theirs != "weight" or f"{name}_gamma" in left:
                        getattr(layer, theirs).copy_(left.pop(f"{name}_{ours}"))
                continue
            for kind in ["weight", "bias"]:
                parts = [getattr(part, kind) for part in getattr(layer, "parts", [layer])]
                if parts[0] is None:
                    continue
                pieces = left.pop(f"{name}_{kind}").flatten().split([part.numel() for part in parts])
                for part, piece in zip(parts, pieces):
                    part.copy_(piece.view_as(part))
    if left:
        raise ValueError(f"{path}: tensors of another network: {sorted(left)}")
    return network
