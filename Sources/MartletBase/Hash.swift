import CXXHash

/// XXH3, 64 bits: tokens, digests and checksums. Not for secrets.
package enum XXH3 {
    @inlinable package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        martlet_xxh3(bytes.baseAddress, bytes.count)
    }

    @inlinable package static func hash(_ span: RawSpan) -> UInt64 {
        span.withUnsafeBytes { hash($0) }
    }

    @inlinable package static func hash(_ blob: Blob) -> UInt64 {
        blob.withUnsafeBytes { hash($0) }
    }

    @inlinable package static func hash(_ span: RawSpan, seed: UInt64) -> UInt64 {
        span.withUnsafeBytes { martlet_xxh3_seeded($0.baseAddress, $0.count, seed) }
    }

    /// One number's hash, for combining digests in an order that is part of the meaning.
    @inlinable package static func hash(_ value: UInt64, seed: UInt64 = 0) -> UInt64 {
        withUnsafeBytes(of: value.bigEndian) { martlet_xxh3_seeded($0.baseAddress, $0.count, seed) }
    }
}
