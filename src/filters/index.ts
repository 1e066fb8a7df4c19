/**
 * containerd's filter language (pkg/filters), without patterns that can run away.
 *
 *     const matches = parseFilters(["kind==committed,labels.team==storage"]);
 *     matches((path) => (path[0] === "kind" ? "committed" : undefined));
 */
export { type FieldReader, type Filter, parseFilters } from "./filter.js";
