/// Plain calls that join a stream: a chunk of the kind that was fed last goes on where that ended, in the blocks that one call
/// over both would have used.
#pragma once

#include <algorithm>
#include <string>

#include "ndloss/vectors.hpp"
#include "plain_call.hpp"
#include "registered.hpp"

namespace ndloss::binding {

template <class... T>
void add_to_key(std::string& key, const T&... numbers) {
  (key.append(reinterpret_cast<const char*>(&numbers), sizeof(numbers)), ...);
}

/// A call's arrays, cut into units, and the rooms for what does not fill a block of them.
class StreamedArrays {
 public:
  std::int64_t units = 0;
  std::int64_t block = 1;
  bool may_be_bad = false;  // whether there are numbers that the loss cannot take

  /// One that stands at this place in the call, with an element to a unit.
  void add(const ArrayView*& place);

  /// One with a row to a unit, along this axis.
  void add_rows(const ArrayView*& place, int axis);

  /// Takes the rooms of a stream; false for arrays of another type than these.
  [[nodiscard]] bool find_rooms(const py::tuple& rooms);

  /// Copies units [begin, end) to the rooms, behind so many.
  void keep(std::int64_t begin, std::int64_t end, std::int64_t behind) const;

  /// Puts the rooms, which are full, into the call.
  void take_rooms();

  /// Puts the arrays back.
  void take_arrays();

 private:
  struct One {
    const ArrayView** place;
    const ArrayView* given;
    const ArrayView* view;  // of the same with the elements of a unit last
    std::int64_t width;     // so many
    ArrayView turned;
    ArrayView room;  // one dimension, or two for rows
  };
  One& added(const ArrayView*& place);

  One arrays_[max_operands + 1];
  int count_ = 0;
  py::tuple rooms_;  // kept while they are written
};

/// Finds a call's arrays, and the key of calls of its kind as far as this tells it.
inline void find_streamed(ElementwiseCall& call, StreamedArrays& arrays, std::string& key) {
  const ArrayView& first = *call.operands[0];
  const std::int64_t classes = call.loss.row_mean ? first.shape[static_cast<std::size_t>(first.ndim - 1)] : 1;
  add_to_key(key, call.loss.index, classes, call.weight != nullptr);
  arrays.units = first.size();
  arrays.block = elementwise_block;
  arrays.may_be_bad = registered[call.loss.index].has_domain;
  for (int k = 0; k < call.loss.operands; ++k) {
    arrays.add(call.operands[k]);
  }
  if (call.weight != nullptr) {
    arrays.add(call.weight);
  }
  call.raw = true;
}

inline void find_streamed(RowCall& call, StreamedArrays& arrays, std::string& key) {
  const std::int64_t classes = call.input->shape[static_cast<std::size_t>(call.axis)];
  add_to_key(key, call.kind, classes, call.ignore_index, call.label_smoothing, call.p, call.margin, call.labels != nullptr);
  key.append(reinterpret_cast<const char*>(call.weight.data()), call.weight.size_bytes());
  arrays.units = call.input->size() / classes;
  arrays.block = row_block(call.kind, classes);
  arrays.may_be_bad = call.probabilities == nullptr;
  arrays.add_rows(call.input, call.axis);
  if (call.labels != nullptr) {
    arrays.add(call.labels);
  } else {
    arrays.add_rows(call.probabilities != nullptr ? call.probabilities : call.label_sets, call.axis);
  }
}

inline void find_streamed(VectorCall& call, StreamedArrays& arrays, std::string& key) {
  const ArrayView& first = *call.operands[0];
  const std::int64_t features = first.shape[static_cast<std::size_t>(first.ndim - 1)];
  add_to_key(key, call.kind, call.family, call.margin, call.p, call.eps, call.swap, features);
  arrays.units = first.size() / features;
  arrays.block = vector_block(features);
  for (const ArrayView*& operand : call.operands) {
    if (operand != nullptr) {
      arrays.add_rows(operand, first.ndim - 1);
    }
  }
  if (call.label != nullptr) {
    arrays.add(call.label);
  }
}

/// The call, once the rooms are in it: classes lie on their last axis.
template <class Call>
Call in_rooms(Call call) {
  if constexpr (requires { call.axis; }) {
    call.axis = 1;
  }
  return call;
}

/// Whether units [begin, end) hold what the loss cannot take.
template <class Call>
bool has_bad(Call call, const StreamedArrays& arrays, std::int64_t begin, std::int64_t end) {
  if (!arrays.may_be_bad) {
    return false;
  }
  if constexpr (requires { call.labels; }) {
    call.kind = call.kind == RowKind::cross_entropy ? RowKind::nll : call.kind;  // looks at the same labels, and at little else
  }
  call.begin = begin;
  call.end = end;
  return accumulate(call).bad.found();
}

/// What a chunk makes of a stream: the sum of its whole blocks, and the units that stand in the rooms. False for numbers that
/// the loss cannot take; what has been written to the rooms then stands behind those that count.
template <class Call>
bool feed_blocks(const Call& call, StreamedArrays& arrays, Accumulator& total, std::int64_t& filled) {
  const auto add = [&total](Call units, std::int64_t begin, std::int64_t end) {
    units.initial = total;
    units.begin = begin;
    units.end = end;
    total = accumulate(units);
  };
  std::int64_t begin = 0;
  if (filled > 0) {
    begin = std::min(arrays.block - filled, arrays.units);
    if (has_bad(call, arrays, 0, begin)) {
      return false;
    }
    arrays.keep(0, begin, filled);
    filled += begin;
    if (filled < arrays.block) {
      return true;
    }
    arrays.take_rooms();
    add(in_rooms(call), 0, arrays.block);
    total.bad = {};  // of a chunk that was accepted as it is
    arrays.take_arrays();
  }
  const std::int64_t whole = arrays.units - (arrays.units - begin) % arrays.block;
  if (whole > begin) {
    add(call, begin, whole);
  }
  if (total.bad.found() || (whole < arrays.units && has_bad(call, arrays, whole, arrays.units))) {
    return false;
  }
  arrays.keep(whole, arrays.units, 0);
  filled = arrays.units - whole;
  return true;
}

/// Whether elements count differently.
template <class Call>
bool selects(const Call& call) {
  if constexpr (requires { call.ignores; }) {
    return call.sample_weight != nullptr || call.mask != nullptr || call.ignores;
  } else if constexpr (requires { call.selects(); }) {
    return call.selects();
  } else {
    return false;
  }
}

/// Adds a call to a stream, as `Stream.feed` does. What it returns is no value.
template <class Call>
PyObject* plain_fed(Call& call, const PlainOperands& operands, const PlainOptions& options) {
  StreamSums& sums = *options.feed.sums;
  const std::int64_t size = operands.size;
  if (size == 0 || options.outs[0] != nullptr || options.return_divisor) {
    return decline();
  }
  if (selects(call)) {
    Accumulator total;
    const auto body = [&] {
      total = accumulate(call);
      total.share_divisor(options.shared);
      return !total.bad.found();
    };
    if (item_size(operands.dtype) > sums.item_size || !run_plain(body, size)) {
      return decline();
    }
    if (!operands.warned()) {
      return nullptr;
    }
    sums.done += total;
    return Py_NewRef(Py_True);
  }
  if constexpr (requires(StreamedArrays& arrays, std::string& key) { find_streamed(call, arrays, key); }) {
    StreamedArrays arrays;
    std::string key;
    find_streamed(call, arrays, key);
    add_to_key(key, call.compute, operands.dtype, options.threads, options.shared);
    key.append(reinterpret_cast<const char*>(options.parameters.data()), options.parameters.size_bytes());
    if (key != sums.key) {
      options.feed.offer(key);
      return decline();
    }
    Accumulator total = sums.total;
    std::int64_t filled = sums.filled;
    if (!arrays.find_rooms(sums.rooms) || !run_plain([&] { return feed_blocks(call, arrays, total, filled); }, size)) {
      return decline();
    }
    if (!operands.warned()) {
      return nullptr;
    }
    sums.total = total;
    sums.filled = filled;
    return Py_NewRef(Py_True);
  }
  return decline();
}

}  // namespace ndloss::binding
