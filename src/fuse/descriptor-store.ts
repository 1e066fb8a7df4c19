/** A descriptor of /dev/fuse that outlives the process. */
export interface StoredDescriptor {
  /** At most 96 of a-z, 0-9, "." and "-". */
  readonly name: string;
  /** What the next process has to know: at most 128 of a-z, 0-9, ".", ",", "=" and "-". */
  readonly facts: string;
  readonly fd: number;
}

/** Holds descriptors outside of this process. While one is held its mount lives, and its readers wait for a process. */
export interface DescriptorStore {
  readonly kind: "keeper" | "systemd";
  /** Copies of what an earlier process has put. The caller owns the descriptors. */
  take(): Promise<readonly StoredDescriptor[]>;
  /** Puts a copy; one of the same name goes. @throws UNAVAILABLE */
  put(descriptor: StoredDescriptor): Promise<void>;
  /** Nothing of that name is fine. @throws UNAVAILABLE */
  drop(name: string): Promise<void>;
  /** Called when the store has lost what was put. */
  onLost(listener: () => void): void;
  /** Ends our interest; what was put stays. */
  close(): void;
}
