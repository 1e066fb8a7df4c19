/** One address of a pod. */
export interface CniAddress {
  /** With the length of its prefix: `10.1.0.5/16`. */
  readonly address: string;
  readonly gateway: string | undefined;
  /** Name of the interface inside the namespace that has it; undefined where the plugin does not tell. */
  readonly interface: string | undefined;
}

export interface CniInterface {
  readonly name: string;
  readonly mac: string | undefined;
  /** Namespace that it lies in; undefined for one of the host. */
  readonly sandbox: string | undefined;
}

export interface CniDns {
  readonly nameservers: readonly string[];
  readonly domain: string | undefined;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What an ADD gave (SPEC.md "ADD Success"), of every version of the format. */
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly addresses: readonly CniAddress[];
  readonly dns: CniDns;
  /** As the last plugin printed it: DEL and CHECK get it back. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Reads what a plugin printed; what it lacks or has in another form is left out. */
export function parseResult(raw: Readonly<Record<string, unknown>>): CniResult {
  const interfaces = records(raw["interfaces"]).map((one) => ({
    name: textOf(one["name"]) ?? "",
    mac: textOf(one["mac"]),
    sandbox: textOf(one["sandbox"]),
  }));
  const addresses = [
    ...records(raw["ips"]).map((one) => addressOf(one, interfaces)),
    // Versions up to 0.2.0 have one address of each kind and no interfaces.
    ...["ip4", "ip6"].flatMap((key) => records([raw[key]]).map((one) => oldAddressOf(one))),
  ].filter((one) => one !== undefined);
  const dns = records([raw["dns"]])[0] ?? {};
  return {
    interfaces,
    addresses,
    dns: {
      nameservers: texts(dns["nameservers"]),
      domain: textOf(dns["domain"]),
      search: texts(dns["search"]),
      options: texts(dns["options"]),
    },
    raw,
  };
}

function addressOf(
  one: Readonly<Record<string, unknown>>,
  interfaces: readonly CniInterface[],
): CniAddress | undefined {
  const address = textOf(one["address"]);
  const index = one["interface"];
  if (address === undefined) return undefined;
  return {
    address,
    gateway: textOf(one["gateway"]),
    interface: typeof index === "number" ? interfaces[index]?.name : undefined,
  };
}

function oldAddressOf(one: Readonly<Record<string, unknown>>): CniAddress | undefined {
  const address = textOf(one["ip"]);
  return address === undefined
    ? undefined
    : { address, gateway: textOf(one["gateway"]), interface: undefined };
}

function records(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one) => typeof one === "object" && one !== null && !Array.isArray(one));
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}
