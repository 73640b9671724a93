/// What a stream of chunks has come to: its sums, and the units that do not fill a block yet.
#pragma once

#include <cstdint>
#include <string>

#include "arrays.hpp"

namespace ndloss::binding {

/// `_accumulator.py` says what the parts are for, and fills them; plain calls of the kind that was fed last add to them too.
struct StreamSums {
  Accumulator done;
  Accumulator total;
  py::tuple rooms;             // an array for each of the kind's, with room for a block
  std::int64_t filled = 0;     // so many units stand in them
  std::int64_t item_size = 0;  // of the widest result
  std::string key;             // of plain calls of the kind; empty: the chunk that was fed last was none
};

/// A `Feed` of `_request.py`, and the sums of its stream.
struct PlainFeed {
  py::object request;
  py::object holder;  // of the sums
  StreamSums* sums = nullptr;

  [[nodiscard]] bool wanted() const { return sums != nullptr; }

  /// Says which plain calls may go on where the checked call ends that follows. Declines, or has set an error.
  void offer(const std::string& key) const;
};

/// Reads a request of that class; false declines.
[[nodiscard]] bool read_feed(PyObject* object, PlainFeed& feed);

}  // namespace ndloss::binding
