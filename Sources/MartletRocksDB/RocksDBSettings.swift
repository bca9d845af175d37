/// What an operator decides about the engine: the `storage` section of cluster.yaml.
package struct RocksDBSettings: Hashable, Sendable {
    /// Decompressed blocks, indexes and filters of table files. More: fewer reads of the disk. Less: less
    /// memory.
    package var blockCacheBytes: Int
    /// A table in memory; up to four of them wait to be written. More: fewer and larger table files, less
    /// rewriting, longer recovery. Less: less memory.
    package var memtableBytes: Int
    /// Present records of hot keys. More: more merges become puts, and more reads are answered without the
    /// engine. 0: off.
    package var recordCacheBytes: Int
    /// Below this much free space writes are refused. More: more room for compaction, which needs some to
    /// free some.
    package var diskFreeMinBytes: Int

    package init(
        blockCacheBytes: Int = 256 << 20,
        memtableBytes: Int = 64 << 20,
        recordCacheBytes: Int = 32 << 20,
        diskFreeMinBytes: Int = 1 << 30
    ) {
        self.blockCacheBytes = blockCacheBytes
        self.memtableBytes = memtableBytes
        self.recordCacheBytes = recordCacheBytes
        self.diskFreeMinBytes = diskFreeMinBytes
    }
}
