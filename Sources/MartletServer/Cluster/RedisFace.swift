/// What a port looks like to the clients that connect to it. Both reach the same keys: any node answers for
/// any of them, so there is never a MOVED, an ASK or a CROSSSLOT.
///
/// | | `single` (7379) | `cluster` (7380) |
/// |---|---|---|
/// | HELLO, INFO | standalone, `cluster_enabled:0` | cluster, `cluster_enabled:1` |
/// | CLUSTER, READONLY, READWRITE, ASKING | refused, as by a Redis without cluster support | answered |
/// | SELECT | any keyspace, by index or name | index 0, or any keyspace by name |
/// | SCAN, KEYS, DBSIZE, RANDOMKEY | the whole key space | the slots whose master this node is |
package enum RedisFace: Sendable {
    case single
    case cluster

    var mode: String { self == .cluster ? "cluster" : "standalone" }
}
