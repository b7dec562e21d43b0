class Segments(nn.Module):
    """A convolution whose segments differ in size by one channel: a grouped
    convolution for each size. `parts` lists inputs, outputs and groups of each."""

    def __init__(self, parts, kernel, **options):
        super().__init__()
        self.inputs = [inputs for inputs, _, _ in parts]
        self.parts = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel, groups=groups, **options)
            for inputs, outputs, groups in parts
        )

    def forward(self, x):
        pieces = x.split(self.inputs, dim=1)
        return torch.cat([part(piece) for part, piece in zip(self.parts, pieces)], 1)
