import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { unavailable } from "../errors/index.js";

/** Where an address lies: on this machine, on its link (cloud metadata services live there), or anywhere else. */
export type AddressKind = "loopback" | "link-local" | "elsewhere";

/** Kinds of addresses that a request may go to; undefined: any, for hosts that an operator or image name gave. */
export type Reach = readonly AddressKind[] | undefined;

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addSubnet("0.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("::", "ipv6");
const linkLocal = new BlockList();
linkLocal.addSubnet("169.254.0.0", 16, "ipv4");
linkLocal.addSubnet("fe80::", 10, "ipv6");
// The metadata service of AWS over IPv6; outside fe80::/10 but as private to the machine.
linkLocal.addAddress("fd00:ec2::254", "ipv6");

export function addressKind(address: string): AddressKind {
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (loopback.check(address, family)) return "loopback";
  return linkLocal.check(address, family) ? "link-local" : "elsewhere";
}

/** The kind of a host name as it stands in a URL, without asking DNS; undefined for a name that DNS must tell. */
export function hostnameKind(hostname: string): AddressKind | undefined {
  const bare = hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  if (isIP(bare) !== 0) return addressKind(bare);
  return bare === "localhost" || bare.endsWith(".localhost") ? "loopback" : undefined;
}

/** Where the answers of a host may send us: to the world, and to its own neighbourhood. */
export function reachFrom(origin: string): Reach {
  const kind = hostnameKind(new URL(origin).hostname) ?? "elsewhere";
  return kind === "elsewhere" ? ["elsewhere"] : ["elsewhere", kind];
}

export function isWithinReach(hostname: string, reach: Reach): boolean {
  const kind = hostnameKind(hostname);
  return reach === undefined || kind === undefined || reach.includes(kind);
}

/**
 * A DNS lookup that only gives addresses within reach. It is the lookup of the connection itself, so a name that
 * answers differently the second time (DNS rebinding) gains nothing.
 */
export function lookupWithin(reach: Reach, lookup: LookupFunction = systemLookup): LookupFunction {
  if (reach === undefined) return lookup;
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, []);
      const all = Array.isArray(found) ? found : [{ address: found, family: isIP(found) }];
      const allowed = all.filter((one) => reach.includes(addressKind(one.address)));
      const first = allowed[0];
      if (first === undefined) return callback(addressRefused(hostname), []);
      if (options.all === true) return callback(null, allowed);
      return callback(null, first.address, first.family);
    });
  };
}

export function addressRefused(hostname: string) {
  return unavailable(
    `Cannot follow to "${hostname}": want a public address, got one of this machine or its link`,
    {
      subject: hostname,
      reason: "address-refused",
      hint: "If this is meant, name the host in hosts.toml or allow local redirects",
    },
  );
}
