/** Named bounds of the engine, with what happens when each is reached. */

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** Reads that may wait for missing units on the node; one more gets EIO at once. */
export const WAITING_READS_MAX = 4096;

/** Range requests for waiting reads that run at once, on the node and for one layer; further reads wait in line. */
export const DEMAND_REQUESTS_MAX = 8;
export const DEMAND_REQUESTS_PER_LAYER_MAX = 6;
/**
 * Requests of replays that run at once on the node, while reads don't have to fetch for themselves, and what they have on
 * the way together where the link does not carry more in two round trips. Other parts wait. Many short ones fill a link
 * that few don't, and many long ones are in the way of reads.
 */
export const PREFETCH_REQUESTS_MAX = 8;
export const REPLAY_FLIGHT_BYTES_MAX = 6 * MIB;
/**
 * While indexes of layers are being read, and so long after the last one, replays make one request at a time: whoever pulls
 * waits for the indexes, and reads nothing yet.
 */
export const REPLAY_INDEX_QUIET_MS = 20;
/** Requests that fill layers in the background, on the node, while that delays no read; see FillPace. */
export const BACKGROUND_REQUESTS_MAX = 4;
/** Bytes of all requests that run, held in memory until decoded; a new request waits unless nothing else runs. */
export const BYTES_IN_FLIGHT_MAX = 64 * MIB;

/** Longest request for waiting reads and for replays. One stream that is longer is still fetched in one piece. */
export const REQUEST_BYTES_MAX = 4 * MIB;
/** Background requests are short, so that a read never waits long behind one: 20 ms at 400 Mbit/s. */
export const BACKGROUND_REQUEST_BYTES_MAX = 1 * MIB;
/**
 * Parts and ranges of one replay; those behind are passed over. So long a replay lasts at most, and so many run at once,
 * for hints and for others: one more ends the oldest. Of so many that ended, the latest, the figures are kept.
 */
export const REPLAY_PARTS_MAX = 16_384;
export const REPLAY_RANGES_MAX = 65_536;
export const REPLAY_TIME_MAX_MS = 600_000;
export const REPLAYS_MAX = 64;
export const REPLAYS_KEPT_MAX = 32;
/** How far ahead in the order of need a replay's request looks for what lies near in its blob: bytes, and ranges. */
export const REPLAY_AHEAD_BYTES = 16 * MIB;
export const REPLAY_NEIGHBOURS_MAX = 4_096;
/**
 * Bytes nobody needs that it fetches along at one place, and all of them to those that are needed. Of a python start's 75
 * units, 7.4 MB, 16 KiB make 44 requests and 1 % in vain, 64 KiB 36 and 4 %, 256 KiB 30 and 12 %, which takes as long.
 */
export const REPLAY_GAP_BYTES_MAX = 64 * KIB;
export const REPLAY_GAP_SHARE_MAX = 0.2;
/** Bytes it puts before those that are needed first. */
export const REPLAY_LEAD_BYTES_MAX = 512 * KIB;

/** Longest request for windows of spans; those of one request for data come in several where they are more. */
export const WINDOWS_REQUEST_BYTES_MAX = 1 * MIB;
/**
 * A read that waits for a part of a stream is answered before the stream has come: decoding is tried where its bytes should
 * have arrived, and then after so many more.
 */
export const EARLY_STEP_BYTES = 32 * KIB;

/** Bytes nobody needs that are fetched along rather than making two requests of one. */
export const GAP_BYTES_MAX = 16 * KIB;
/**
 * A read whose bytes lie further behind in a running request for nobody cuts that request short and makes its own.
 * Nearer ones arrive sooner than a new request's first byte: 20 ms at 400 Mbit/s.
 */
export const INTERRUPT_DISTANCE_BYTES = 1 * MIB;

/**
 * Readahead of a place that was read for the first time: what the link carries during one round trip, within these
 * bounds, and the upper one until that was measured. At 20 ms and 400 Mbit/s (1 MiB a round trip) a cold python start
 * took 2.0 s with 1 MiB and 2.5 s with 64 to 256 KiB; at 50 ms and 20 Mbit/s 11.3 s with 1 MiB and 7.2 s with 256 KiB.
 */
export const READAHEAD_START_BYTES_MAX = 1 * MIB;
export const READAHEAD_START_BYTES_MIN = 128 * KIB;
/** Requests by which the link is judged, the latest ones, and the least bytes of a body that counts. */
export const LINK_SAMPLES_MAX = 8;
export const LINK_SAMPLE_BYTES_MIN = 64 * KIB;
/** Places of one layer whose readers are followed; the one not read for longest is forgotten. */
export const READAHEAD_PLACES_MAX = 16;

/** Times that wrong bytes of one unit are fetched anew before its readers get EIO. */
export const CORRUPT_ATTEMPTS_MAX = 3;
/** Units of a layer whose failures are remembered; beyond it the oldest memory goes. */
export const CORRUPT_UNITS_MAX = 4096;

/** First and longest pause after a failed request of a layer; doubled each time. So soon a read goes on after an outage. */
export const RETRY_FIRST_MS = 250;
export const RETRY_LONGEST_MS = 1_000;
/** After a line about failed reads of a layer, others of the same reason are only counted for so long. */
export const FAILED_READS_LOG_MS = 10_000;
/** Failures in a row after which a replay is given up; the background and readers go on. */
export const PREFETCH_FAILURES_MAX = 5;
/** No background request starts before nobody has waited for this long, until one was seen to delay no read. */
export const BACKGROUND_QUIET_MS = 1_000;
/** A node that is never quiet gets one background request after so long: a layer must become whole some day. */
export const FILL_STARVED_MS = 10_000;
/** A read beside the background that waits longer than this much of the usual wait, and more, was delayed by it. */
export const FILL_WAIT_FACTOR = 2;
export const FILL_WAIT_SLACK_MS = 5;
/**
 * A layer of which reads touch more than this part of its bytes is fetched at full speed, as a pull would do. Sooner is worse:
 * from 30 % on a Java start over SOCI's spans fetches 123 MB and takes 5.2 s, from 60 % on 54 MB and 4.1 s.
 */
export const FILL_JUMP_SHARE = 0.6;
/** First and longest pause of the background after a layer's failure. */
export const BACKGROUND_RETRY_FIRST_MS = 10_000;
export const BACKGROUND_RETRY_LONGEST_MS = 300_000;

/** A layer's bitmap is written after so many new units, or when none came for so long, and no later than the last. */
export const FLUSH_UNITS = 1_024;
export const FLUSH_QUIET_MS = 1_000;
export const FLUSH_LONGEST_MS = 10_000;
/** Between two looks at what is really mounted. */
export const RECONCILE_MS = 60_000;

/** At close, longest wait for all bitmaps; what is not written is fetched again. */
export const FLUSH_CLOSE_MS = 10_000;

/** A whole blob is fetched by so many requests at once, of so many bytes: what they bring early is held in memory. */
export const WHOLE_REQUESTS_MAX = 4;
export const WHOLE_REQUEST_BYTES = 4 * MIB;
/** Spans of a layer that was fetched whole have at least so many bytes, as SOCI's have. */
export const WHOLE_SPAN_BYTES = 4 * MIB;
/** A blob that decodes to more is left to the client. */
export const WHOLE_DATA_BYTES_MAX = 64 * 1024 * MIB;

/** A layer that was decoded as a whole, since it lost units, is kept so long after the last request for some. */
export const DECODED_PARKED_MS = 10_000;
/** What is read of it at once. */
export const DECODED_PIECE_BYTES = 1 * MIB;

/** A pass through a processed layer that lost units waits so long for a request that goes on where the last one ended. */
export const PROCESSED_PARKED_MS = 10_000;

/**
 * Of what a SOCI index says is read first: bytes of the blob that are fetched ahead, and ranges that are kept in layer.json,
 * where each has about sixty bytes. What lies behind waits for its readers.
 */
export const PREFETCH_BLOB_BYTES_MAX = 64 * MIB;
export const PREFETCH_RANGES_MAX = 512;

/** Longest time that a TOC's compilation may take, and the heap it may use; beyond it the layer is not lazy. */
export const COMPILE_TIMEOUT_MS = 60_000;
export const COMPILE_HEAP_MIB = 1_024;
/** Of a compiling thread, for what is new: by default V8 takes 20 MiB more, for the same time. */
export const COMPILE_YOUNG_HEAP_MIB = 8;
/** How long a layer waits for a thread that is busy before there is a second one; most layers take 20 to 100 ms. */
export const COMPILER_PATIENCE_MS = 200;
/** Compiling threads that had no work for so long are ended, but for one. */
export const COMPILER_IDLE_MS = 30_000;
/** TOCs that are compiled at once; others wait. */
export const COMPILES_MAX = 2;

/** Layers read from disk at once when the engine opens. */
export const ADOPT_CONCURRENCY = 8;
/** Units that one call of the background check covers. */
export const VERIFY_UNITS_STEP = 256;
/** Longest layer.json that is read. */
export const RECORD_BYTES_MAX = 64 * KIB;

/** Names of one layer that a map of its files reads; a layer with more has none. */
export const FILE_MAP_NAMES_MAX = 4_000_000;
/** Pieces of files that one question gets; what is found behind them is left out. */
export const FILE_MAP_PARTS_MAX = 131_072;
/** Longest time that one question may take, and the heap of the thread; beyond it the layer has no map. */
export const FILE_MAP_TIMEOUT_MS = 30_000;
export const FILE_MAP_HEAP_MIB = 512;
/** The thread that answers is ended when it had no work for so long. */
export const FILE_MAP_IDLE_MS = 10_000;

/** What a full disk makes layers give up at least, so that not every unit finds it full again. */
export const EVICT_FULL_DISK_BYTES = 8 * MIB;
/** After the disk was full, nothing is fetched for so long that nobody waits for. */
export const FULL_DISK_PAUSE_MS = 10_000;
/** Where nothing could be given up, readers are let beyond the budget for so long before it is tried again. */
export const FUTILE_MS = 500;
/** Between two looks at the files of layers other than their data. */
export const MEASURE_MS = 10_000;
/** Between two looks at how much memory there is. */
export const MEMORY_LOOK_MS = 1_000;
/** Where memory is short, requests may still hold so much at once: one of the longest. */
export const BYTES_IN_FLIGHT_MIN = 4 * MIB;
/** Of the memory that is free, the part that running requests may hold. */
export const BYTES_IN_FLIGHT_SHARE = 1 / 8;
/** Hundredths of the time that processes waited for memory (PSI `some avg10`) from which on half must do. */
export const MEMORY_STALL_PERCENT = 10;
/** Descriptors that layers may not take, and how long a look at their number counts. */
export const DESCRIPTORS_RESERVED = 128;
export const DESCRIPTORS_LOOK_MS = 1_000;
