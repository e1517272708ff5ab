/// Finds the most similar known word.
enum Suggestion {
    /// The candidate nearest to `word`, if at most a third of its letters differ.
    static func nearest(to word: String, among candidates: some Swift.Sequence<String>) -> String? {
        let folded = Self.folded(word)
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = Self.distance(folded, Self.folded(candidate))
            let length = min(folded.count, candidate.count)
            guard distance <= (length < 3 ? 0 : max(1, length / 3)) else { continue }
            if best.map({ (distance, candidate) < ($0.distance, $0.candidate) }) ?? true {
                best = (distance, candidate)
            }
        }
        return best?.candidate
    }

    /// `; did you mean "status"?`, or nothing.
    static func hint(for word: String, among candidates: some Swift.Sequence<String>) -> String {
        Self.nearest(to: word, among: candidates).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    /// `batchEvents`, `batch-events` and `batch_events` compare as equal.
    private static func folded(_ word: String) -> [Character] {
        word.lowercased().filter { $0 != "_" && $0 != "-" }
    }

    /// The edit distance: letters to insert, delete, replace or swap with their neighbour.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for i in 1...left.count {
            var row = [i]
            for j in 1...right.count {
                let replaced = last[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
                var best = min(replaced, last[j] + 1, row[j - 1] + 1)
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                    best = min(best, beforeLast[j - 2] + 1)
                }
                row.append(best)
            }
            (beforeLast, last) = (last, row)
        }
        return last[right.count]
    }
}
