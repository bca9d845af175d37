import Glibc
import MartletBase

/// Processor time (user and system, all threads, and children that have ended) of this program and of
/// servers.
package struct ProcessUsage: Hashable, Sendable {
    package var clientSeconds: Double
    package var serverSeconds: Double

    /// Now. A server that is gone counts nothing.
    package init(_ servers: [pid_t]) {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        clientSeconds = Self.seconds(time)
        serverSeconds = servers.reduce(0) { $0 + Self.seconds(of: $1) }
    }

    package static func - (after: ProcessUsage, before: ProcessUsage) -> ProcessUsage {
        var out = after
        out.clientSeconds -= before.clientSeconds
        out.serverSeconds -= before.serverSeconds
        return out
    }

    /// By the process's own clock, which counts nanoseconds where /proc/PID/stat counts hundredths of a
    /// second.
    private static func seconds(of process: pid_t) -> Double {
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(process, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
        return seconds(time) + secondsOfChildren(of: process)
    }

    private static func secondsOfChildren(of process: pid_t) -> Double {
        let text = readFile("/proc/\(process)/stat") ?? ""
        // The program's name, in parentheses, may hold spaces. After it the 14th and 15th are cutime, cstime.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 15, let user = Double(fields[14]), let system = Double(fields[15]) else {
            return 0
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func seconds(_ time: timespec) -> Double {
        Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Resident memory in bytes; nil when the process is gone.
    package static func residentBytes(of process: pid_t) -> Int? {
        guard let text = readFile("/proc/\(process)/statm") else { return nil }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// The processes of this machine that listen at addresses.
enum Listeners {
    /// Nil when one of them can't be found: it listens elsewhere, or belongs to another user.
    static func processes(at addresses: [Address]) -> [pid_t]? {
        let inodes = listeningInodes()
        var wanted: Set<String> = []
        for address in addresses {
            let everywhere = Address(ip: IPAddress(v4: 0, 0, 0, 0), port: address.port)
            guard let inode = inodes[address] ?? inodes[everywhere] else { return nil }
            wanted.insert("socket:[\(inode)]")
        }
        var found: Set<pid_t> = []
        var left = wanted
        for name in names(in: "/proc") {
            guard let process = pid_t(name) else { continue }
            for descriptor in names(in: "/proc/\(name)/fd") {
                guard let link = linkTarget("/proc/\(name)/fd/\(descriptor)") else { continue }
                if wanted.contains(link) {
                    found.insert(process)
                    left.remove(link)
                }
            }
        }
        return left.isEmpty ? found.sorted() : nil
    }

    private static func listeningInodes() -> [Address: String] {
        var out: [Address: String] = [:]
        for line in (readFile("/proc/net/tcp") ?? "").split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ")
            // State 0A: listens.
            guard fields.count > 9, fields[3] == "0A" else { continue }
            let parts = fields[1].split(separator: ":")
            guard parts.count == 2, let ip = UInt32(parts[0], radix: 16),
                let port = UInt16(parts[1], radix: 16)
            else { continue }
            // In the machine's own order of bytes.
            let bytes = withUnsafeBytes(of: ip) { Array($0) }
            out[Address(ip: IPAddress(v4: bytes[0], bytes[1], bytes[2], bytes[3]), port: port)] =
                String(fields[9])
        }
        return out
    }
}
