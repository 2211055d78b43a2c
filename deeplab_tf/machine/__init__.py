"""Whatever depends on the operating system or the processor: no other room asks which they are."""
