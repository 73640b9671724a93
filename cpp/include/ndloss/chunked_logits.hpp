/// Cross entropy of logits that never exist as a whole: a callback makes a chunk of rows at a time, in memory that is used
/// again.
///
///     std::vector<float> memory(256 * classes);
///     const ndloss::ChunkedLogits<float> logits{rows, classes, memory};
///     const auto fill = [&](const ndloss::LogitsChunk<float>& chunk) { gemm(input, weight, chunk); };    // X W^T
///     double mean = ndloss::evaluate(ndloss::CrossEntropyLoss{}, logits, labels, fill);
///     double both = ndloss::value_and_gradient(ndloss::CrossEntropyLoss{}, logits, labels, fill,
///         [&](const ndloss::LogitsChunk<const float>& slopes) { gemms(slopes, ...); });                   // G W, G^T X
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "ndloss/calls.hpp"
#include "ndloss/evaluate.hpp"

namespace ndloss {

/// Rows [begin, begin + rows) of logits, or of the gradient for them: `data` holds (rows, classes), contiguous.
template <class T>
struct LogitsChunk {
  T* data;
  std::int64_t begin;
  std::int64_t rows;
  std::int64_t classes;
};

/// Logits of `rows` rows that are made in `memory`, which holds at least one. Chunks are whole blocks of the library's where
/// it holds one: results then have the bits of the whole logits, whatever the memory.
template <class T>
struct ChunkedLogits {
  std::int64_t rows;
  std::int64_t classes;
  std::span<T> memory;

  /// Rows of a chunk.
  [[nodiscard]] std::int64_t height() const {
    const std::int64_t most = static_cast<std::int64_t>(memory.size()) / std::max<std::int64_t>(classes, 1);
    const std::int64_t block = row_block(RowKind::cross_entropy, classes);
    return std::min(most < block ? most : most / block * block, std::max<std::int64_t>(rows, 1));
  }
};

/// Puts logits into a chunk.
template <class F, class T>
concept FillsLogits = std::invocable<F&, const LogitsChunk<T>&>;

/// Takes the gradients of a chunk.
template <class F, class T>
concept TakesSlopes = std::invocable<F&, const LogitsChunk<const T>&>;

namespace detail {

/// Calls fill(chunk), then run(call, chunk) -> Accumulator for every chunk, in order; `run` adds to what the call begins with.
template <class T, class Fill, class Run>
Accumulator for_chunks(const RowCallStorage& whole, const ChunkedLogits<T>& logits, Fill& fill, Run&& run) {
  const std::int64_t height = logits.height();
  if (height < 1) {
    throw std::invalid_argument(std::string(CrossEntropyLoss::name) + ": memory holds " + std::to_string(logits.memory.size()) +
                                " logits, expected at least a row of " + std::to_string(logits.classes));
  }
  Accumulator total;
  for (std::int64_t begin = 0; begin < logits.rows; begin += height) {
    const std::int64_t rows = std::min(height, logits.rows - begin);
    const LogitsChunk<T> chunk{logits.memory.data(), begin, rows, logits.classes};
    fill(chunk);
    const ArrayView input(chunk.data, {rows, logits.classes, 1});
    ArrayView target = whole.target_view;
    target.data = static_cast<const char*>(target.data) + begin * target.strides[0];
    target.shape[0] = rows;
    ArrayView weight = whole.weight_view;
    RowCall call = whole.call;
    call.input = &input;
    if (call.sample_weight != nullptr) {
      weight.data = static_cast<const char*>(weight.data) + begin * weight.strides[0];
      weight.shape[0] = rows;
      call.sample_weight = &weight;
    }
    (call.labels != nullptr ? call.labels : call.probabilities) = &target;
    call.initial = total;
    call.interrupt.check();
    total = run(call, chunk);
    if (total.bad.found()) {
      total.bad.index += begin;
      throw_if_bad_row(total.bad, CrossEntropyLoss::name, logits.classes);
    }
  }
  return total;
}

}  // namespace detail

template <class T, FillsLogits<T> Fill>
[[nodiscard]] Accumulator accumulate(const CrossEntropyLoss& loss, const ChunkedLogits<T>& logits, const ArrayView& target,
                                     Fill&& fill, const Options& options = {}) {
  const RowsView<const T> view{logits.memory.data(), logits.rows, logits.classes, 1};
  const RowCallStorage whole(loss, view, target, options);
  return detail::for_chunks(whole, logits, fill,
                            [](const RowCall& call, const LogitsChunk<T>& /*chunk*/) { return accumulate(call); });
}

template <class T, FillsLogits<T> Fill>
[[nodiscard]] double evaluate(const CrossEntropyLoss& loss, const ChunkedLogits<T>& logits, const ArrayView& target,
                              Fill&& fill, const Options& options = {}) {
  return accumulate(loss, logits, target, std::forward<Fill>(fill), options).compute(options.reduction);
}

/// One number per row.
template <class T, FillsLogits<T> Fill, class U, std::size_t N>
void evaluate(const CrossEntropyLoss& loss, const ChunkedLogits<T>& logits, const ArrayView& target, Fill&& fill,
              std::span<U, N> out, const Options& options = {}) {
  const RowsView<const T> view{logits.memory.data(), logits.rows, logits.classes, 1};
  const RowCallStorage whole(loss, view, target, options);
  if (static_cast<std::int64_t>(out.size()) != logits.rows) {
    throw std::invalid_argument(std::string(CrossEntropyLoss::name) + ": out has " + std::to_string(out.size()) +
                                " elements, expected " + std::to_string(logits.rows));
  }
  static_cast<void>(detail::for_chunks(whole, logits, fill, [&](const RowCall& call, const LogitsChunk<T>& chunk) {
    return map(call, Output(out.subspan(static_cast<std::size_t>(chunk.begin), static_cast<std::size_t>(chunk.rows))));
  }));
}

/// The reduced loss. Each chunk's gradient stands where its logits stood while `take` looks at it; the divisor of a mean is
/// known before the first one, from labels and class weights alone.
template <class T, FillsLogits<T> Fill, TakesSlopes<T> Take>
double value_and_gradient(const CrossEntropyLoss& loss, const ChunkedLogits<T>& logits, const ArrayView& target, Fill&& fill,
                          Take&& take, const Options& options = {}) {
  const RowsView<const T> view{logits.memory.data(), logits.rows, logits.classes, 1};
  const RowCallStorage whole(loss, view, target, options);
  RowGradients wanted;
  wanted.scale = gradient_scale(whole.call, options.reduction);
  const Accumulator total = detail::for_chunks(whole, logits, fill, [&](const RowCall& call, const LogitsChunk<T>& chunk) {
    wanted.input = Output(logits.memory.first(static_cast<std::size_t>(chunk.rows * chunk.classes)));
    const Accumulator part = gradients(call, wanted);
    if (!part.bad.found()) {
      take(LogitsChunk<const T>{chunk.data, chunk.begin, chunk.rows, chunk.classes});
    }
    return part;
  });
  return total.compute(options.reduction);
}

}  // namespace ndloss
