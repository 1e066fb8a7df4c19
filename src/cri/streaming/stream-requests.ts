/** What a client may do with a URL that it was given. */
export type StreamRequest =
  | {
      readonly kind: "exec";
      readonly containerId: string;
      readonly command: readonly string[];
      readonly isTerminal: boolean;
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
    }
  | {
      readonly kind: "attach";
      readonly containerId: string;
      readonly isTerminal: boolean;
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
    }
  | { readonly kind: "portforward"; readonly podId: string; readonly ports: readonly number[] };

export type CommandRequest = Exclude<StreamRequest, { kind: "portforward" }>;
export type PortRequest = Extract<StreamRequest, { kind: "portforward" }>;
