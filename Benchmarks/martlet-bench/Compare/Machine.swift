import Glibc
import MartletBase

/// What the numbers belong to.
struct Machine {
    let processor: String
    let cores: Int
    let memoryBytes: Double
    let kernel: String
    let system: String
    /// Work that waited for a processor in the last minute, before anything was started here.
    let load: String
    /// Nil where none is compared with.
    let redis: String?

    init(redis: String?) {
        self.redis = redis
        let cpu = Self.value("model name", in: "/proc/cpuinfo", ":")
        processor = cpu ?? "an unknown processor"
        cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let kibibytes = Self.value("MemTotal", in: "/proc/meminfo", ":")?.split(separator: " ").first
        memoryBytes = (kibibytes.flatMap { Double($0) } ?? 0) * 1_024
        kernel = (readFile("/proc/sys/kernel/osrelease") ?? "?").filter { $0 != "\n" }
        system =
            Self.value("PRETTY_NAME", in: "/etc/os-release", "=").map { $0.filter { $0 != "\"" } }
            ?? "an unknown system"
        load = (readFile("/proc/loadavg") ?? "?").split(separator: " ").first.map(String.init) ?? "?"
    }

    private static func value(_ name: String, in path: String, _ separator: Character) -> String? {
        for line in (readFile(path) ?? "").split(separator: "\n") where line.hasPrefix(name) {
            let parts = line.split(separator: separator, maxSplits: 1)
            if parts.count == 2 { return String(parts[1].drop { $0 == " " }) }
        }
        return nil
    }

    var text: String {
        "\(cores) cores of \(processor), \(decimal(memoryBytes / 1_073_741_824, digits: 0)) GiB, \(system),"
            + " Linux \(kernel); Martlet \(Version.text)"
            + (redis.map { ", Redis \($0)" } ?? "") + "; load before the start \(load)"
    }

    var json: JSON {
        .object([
            ("processor", .string(processor)), ("cores", .integer(cores)),
            ("memory_bytes", .number(memoryBytes)), ("system", .string(system)), ("kernel", .string(kernel)),
            ("martlet", .string(Version.text)), ("redis", redis.map { .string($0) } ?? .null),
            ("load", .string(load)),
        ])
    }
}
