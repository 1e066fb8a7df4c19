/** The registry proper, the storage that it redirects to, and the server that gives tokens. */
export type ServerName = "registry" | "storage" | "token";

/** One request as it came over the wire, and what was answered. */
export interface RequestRecord {
  readonly server: ServerName;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** Request line, all headers and the body as text: what a search for canaries looks at. */
  readonly wire: string;
  status: number;
  /** Bytes of the body that were sent. */
  bytesSent: number;
}
