import { SingleFlight } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { dataLoss, type ErrorCode, type LazuliError } from "../errors/index.js";
import type { BlobSource } from "../registry/index.js";

export type OpenSource = (options: { signal?: AbortSignal | undefined }) => Promise<BlobSource>;

/** After these a source is opened anew: a credential, an address or the blob's place may have changed. */
const reopenCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "NOT_FOUND",
  "FAILED_PRECONDITION",
]);

/** A source that is opened when the first byte is really needed. */
export class LazySource {
  readonly #digest: Digest;
  readonly #blobSize: number;
  #open: OpenSource;
  readonly #opening = new SingleFlight<"open", BlobSource>();
  #source: BlobSource | undefined;
  #hasFailed = false;

  constructor(options: {
    readonly digest: Digest;
    readonly blobSize: number;
    readonly open: OpenSource;
    readonly opened: BlobSource | undefined;
  }) {
    this.#digest = options.digest;
    this.#blobSize = options.blobSize;
    this.#open = options.open;
    this.#source = options.opened;
  }

  async get(signal: AbortSignal): Promise<BlobSource> {
    if (this.#source !== undefined) return this.#source;
    return await this.#opening.run(
      "open",
      async (flight) => {
        const source = await this.#open({ signal: flight });
        if (source.size !== this.#blobSize) {
          throw dataLoss(
            `Cannot use source ${source.description}: want a blob of ${this.#blobSize} bytes, got ${source.size}`,
            { subject: this.#digest, reason: "blob-size-mismatch" },
          );
        }
        this.#source = source;
        return source;
      },
      signal,
    );
  }

  /** Somebody knows a way to the blob: taken when the own one does not work. */
  offer(open: OpenSource): void {
    if (this.#source === undefined || this.#hasFailed) {
      this.#open = open;
      this.#source = undefined;
      this.#hasFailed = false;
    }
  }

  /** Wrong bytes came for this range. */
  distrust(range: { readonly offset: number; readonly length: number }): void {
    this.#source?.distrust(range);
  }

  /** Looks at a failure of the source. */
  failed(error: LazuliError): void {
    this.#hasFailed = true;
    if (reopenCodes.has(error.code)) this.#source = undefined;
  }
}
