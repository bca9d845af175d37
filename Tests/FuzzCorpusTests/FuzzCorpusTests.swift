import FuzzProperties
import Glibc
import Testing

/// The fuzzers' corpora, run again: what a fuzzer once found stays found. `make fuzz` looks for more.
@Suite struct FuzzCorpusTests {
    @Test(arguments: FuzzTarget.all.map(\.name))
    func theCorpusHolds(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let folder = Self.corpus + name
        let files = Self.files(in: folder)
        #expect(!files.isEmpty, "no corpus in \(folder)")
        for file in files {
            let bytes = try #require(Self.read("\(folder)/\(file)"), "\(file) can't be read")
            do throws(PropertyFailure) {
                try target.check(bytes)
            } catch {
                Issue.record("\(folder)/\(file): \(error)")
            }
        }
    }

    /// The corpus leads to where scans are hard: replicas that differ, counts in dispute, newer placements.
    @Test func theCorpusReachesScans() throws {
        let folder = Self.corpus + "node"
        var reads: UInt64 = 0
        var (scans, lists, retries): (UInt64, UInt64, UInt64) = (0, 0, 0)
        for file in Self.files(in: folder) {
            let metrics = try runNode(try #require(Self.read("\(folder)/\(file)")))
            scans += metrics.scans
            reads += metrics.scanReads
            lists += metrics.replicaScans
            retries += metrics.placementRetries
        }
        #expect(
            scans > 0 && reads > 0 && lists > scans && retries > 0,
            "\(scans) scans, \(reads) keys in doubt, \(lists) lists, \(retries) retries")
    }

    /// From this file's own place in the tree.
    private static let corpus =
        #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/Fuzz/corpus/"

    private static func files(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private static func read(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }
}
