"""The trainers of the small models that we own: autoencoder, CLIP, and their assembly.

    python -m nano autoencoder recipes/nano-autoencoder.yaml -o runs/nano/autoencoder
    python -m nano clip recipes/nano-clip.yaml -o runs/nano/clip
    python -m nano assemble runs/nano/autoencoder runs/nano/clip -o runs/nano/base

The editing U-Net is then trained by `overpaint train`, as any other; at last

    python -m nano ship runs/nano/editor runs/nano/base -o src/overpaint/models/nano
"""
