def mean_pool(x, window, stride, padding):
    """Mean over those pixels of each window that are not padding."""
    sums = F.avg_pool2d(F.pad(x, padding), window, stride)
    shares = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), padding), window, stride)
    return sums / shares
