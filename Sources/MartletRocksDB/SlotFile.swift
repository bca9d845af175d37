import Glibc
import MartletBase

/// A number that only rises, kept durably: two slots of one file, each with its checksum, far enough apart
/// that no write touches both. The number is the greater one of the slots that are whole, so a torn write
/// loses at most itself.
///
///     slot = "MSLT" | format u32 | value u64 | XXH3 of these sixteen bytes u64       at 0 and at 4,096
struct SlotFile: ~Copyable {
    private static let magic: UInt32 = 0x4D53_4C54
    private static let format: UInt32 = 1
    private static let slotBytes = 24
    private static let spacing = 4_096

    private let file: FileDescriptor
    private(set) var value: UInt64
    /// The slot that is written next. The other one holds the last value that is known to be durable.
    private var slot: Int

    private init(_ file: consuming FileDescriptor, value: UInt64, nextSlot: Int) {
        self.file = file
        self.value = value
        slot = nextSlot
    }

    /// Makes the file, durably, with the value in both slots. Replaces what is there.
    static func create(_ path: String, value: UInt64) throws(FileFailure) -> SlotFile {
        let file = try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_TRUNC)
        try file.truncate(to: 2 * spacing)
        for slot in 0..<2 { try file.write(encoded(value), at: slot * spacing) }
        try file.sync()
        try FileSystem.syncFolder(of: path)
        return SlotFile(file, value: value, nextSlot: 0)
    }

    /// Opens the file and reads its number.
    static func open(_ path: String) throws(DataFolderError) -> SlotFile {
        guard FileSystem.exists(path) else { throw .missing(file: path) }
        let file = try DataFolderError.explaining { () throws(FileFailure) in
            try FileDescriptor(opening: path, O_RDWR)
        }
        let bytes = try DataFolderError.explaining { () throws(FileFailure) in
            try file.read(max: 2 * spacing)
        }
        let values = (0..<2).map { decoded(bytes, slot: $0) }
        guard let value = values.compactMap({ $0 }).max() else {
            throw .unreadable(file: path, reason: "neither of its two slots has a valid checksum")
        }
        return SlotFile(file, value: value, nextSlot: values[0] == value ? 1 : 0)
    }

    /// Writes a greater number, which is durable only after `sync`.
    mutating func raise(to newValue: UInt64) throws(FileFailure) {
        invariant(newValue >= value, "\(file.path) may not fall from \(value) to \(newValue)")
        try file.write(Self.encoded(newValue), at: slot * Self.spacing)
        value = newValue
    }

    /// Makes the number durable. Until then every `raise` overwrites the same slot, so that the last
    /// durable number is never in danger.
    mutating func sync() throws(FileFailure) {
        try file.syncData()
        slot = 1 - slot
    }

    /// Makes a greater number durable in both slots, so that no single damaged slot makes it fall.
    mutating func raiseDurably(to newValue: UInt64) throws(FileFailure) {
        for _ in 0..<2 {
            try raise(to: newValue)
            try sync()
        }
    }

    private static func encoded(_ value: UInt64) -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: slotBytes)
        writer.u32(magic)
        writer.u32(format)
        writer.u64(value)
        writer.u64(XXH3.hash(writer.bytes.span.bytes))
        return writer.bytes
    }

    private static func decoded(_ bytes: [UInt8], slot: Int) -> UInt64? {
        let start = slot * spacing
        guard bytes.count >= start + slotBytes else { return nil }
        let part = Blob(Array(bytes[start..<(start + slotBytes)]))
        var reader = ByteReader(part.span)
        guard let foundMagic = try? reader.u32(), foundMagic == magic,
            let foundFormat = try? reader.u32(), foundFormat == format,
            let value = try? reader.u64(), let checksum = try? reader.u64(),
            checksum == XXH3.hash(part.span.extracting(0..<16))
        else { return nil }
        return value
    }
}
