"""Images a second of torchvision, and milliseconds of processor time an image:
`data_worker.py pillow|decode_jpeg FOLDER PROCESSES IMAGES`."""
import pathlib
import resource
import sys
import time

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2


class Photographs(torch.utils.data.Dataset):
    def __init__(self, way, folder, images):
        self.way, self.images = way, images
        self.files = sorted(str(path) for path in pathlib.Path(folder).glob("*/*") if path.is_file())
        steps = [v2.RandomResizedCrop(299, antialias=True), v2.RandomHorizontalFlip()]
        self.transform = v2.Compose(steps + ([v2.PILToTensor()] if way == "pillow" else []))

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        file = self.files[index % len(self.files)]
        if self.way == "pillow":
            return self.transform(Image.open(file).convert("RGB"))
        return self.transform(decode_jpeg(read_file(file), mode=ImageReadMode.RGB))


def main():
    way, folder, processes, images = sys.argv[1:]
    torch.set_num_threads(1)
    data = Photographs(way, folder, int(images))
    loader = torch.utils.data.DataLoader(data, 64, shuffle=True, num_workers=int(processes), drop_last=True)
    own, began, seen = time.process_time(), None, 0
    for step, batch in enumerate(loader):
        if step == 1:
            began = time.perf_counter()
        elif step > 1:
            seen += len(batch)
    rate = seen / (time.perf_counter() - began)
    # The workers have ended and were waited for; they were forked, and so have imported nothing.
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() - own + workers.ru_utime + workers.ru_stime
    print(rate, 1e3 * cpu / (len(loader) * 64))


main()
