/** When a container has done what it is started for. */
export type Ready =
  /** Its process has ended with 0. */
  | { readonly kind: "exit" }
  /** A line of its output has this text. */
  | { readonly kind: "line"; readonly text: string }
  /** It listens on this TCP port. */
  | { readonly kind: "port"; readonly port: number };

/** What is started, and how one sees that it has. */
export interface Workload {
  readonly name: string;
  /** Undefined: as the image says. */
  readonly command: readonly string[] | undefined;
  readonly ready: Ready;
  readonly origin: BuiltImage | NamedImage;
}

/** An image made of Debian's packages on this machine. */
export interface BuiltImage {
  readonly kind: "built";
  readonly packages: readonly string[];
  /** Files of the program, in a layer of their own: path to text. */
  readonly files: Readonly<Record<string, string>>;
  /** As the image's config has it; undefined: root. */
  readonly user: string | undefined;
}

/** An image that the user names. */
export interface NamedImage {
  readonly kind: "named";
  readonly reference: string;
}
