/// Evaluating losses of sequences: CTCLoss on log-probabilities of (frames, batch, classes).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ndloss/calls.hpp"
#include "ndloss/evaluate.hpp"

namespace ndloss {

/// Log-probabilities as they are contiguous in memory: element (t, n, c) of (frames, batch, classes).
template <class T>
struct SequencesView {
  T* data;
  std::int64_t frames;
  std::int64_t batch;
  std::int64_t classes;
};

/// The labels of every sample, of any integer type: (batch, any number), of which the first ones count, or one sample's after
/// the other's; and how many frames and labels each sample has.
struct Transcripts {
  ArrayView labels;
  std::span<const std::int64_t> input_lengths;
  std::span<const std::int64_t> target_lengths;
};

/// A call without the types of its arrays.
struct SequenceCall {
  CTCLoss loss;
  const ArrayView* log_probs = nullptr;  // (frames, batch, classes), of any numbers and strides
  Transcripts target;
  DType compute = DType::float32;         // float32 or float64: the type of unreduced losses
  bool by_length = false;                 // every loss is divided by its number of labels, or 1: what the mean is a mean of
  std::span<const double> sample_weight;  // one for each sample, or none: multiplies its loss and its part of the divisor
  Accumulator initial;                    // what the samples are added to, one by one
  int threads = 0;
  Interrupt interrupt;
};

/// Where gradients go: a sample's is multiplied by weight, upstream and scale, and divided as its loss is.
struct SequenceGradients {
  double scale = 1;
  std::span<const double> upstream;  // one for each sample, or none
  Output log_probs;                  // (frames, batch, classes), of any floating type
};

/// Σ of the loss; `value`, if wanted, gets each sample's, and `wanted`, if not null, the gradients. Sizes and lengths are
/// checked and throw std::invalid_argument. A label out of range is reported in the result: its index is that of the sample
/// times the largest target length, plus its place among the sample's labels.
[[nodiscard]] Accumulator run(const SequenceCall& call, const Output& value, const SequenceGradients* wanted);

/// Throws std::out_of_range for a label that is none.
void throw_if_bad_label(const Accumulator& total, const SequenceCall& call);

/// What the reduction multiplies every gradient by; NaN for a mean whose divisor is 0.
[[nodiscard]] double gradient_scale(const SequenceCall& call, Reduction reduction);

/// A sequence call from contiguous arrays, with the views it needs. Throws std::invalid_argument.
struct SequenceCallStorage {
  SequenceCall call;
  ArrayView log_probs_view;
  std::vector<double> sample_weights;

  template <class T>
  SequenceCallStorage(const CTCLoss& loss, const SequencesView<T>& log_probs, const Transcripts& target, const Options& options)
      : log_probs_view(log_probs.data, {log_probs.frames, log_probs.batch, log_probs.classes}) {
    call.loss = loss;
    call.log_probs = &log_probs_view;
    call.compute = dtype_of<T>();
    call.target = target;
    call.by_length = options.reduction == Reduction::mean;
    complete(options);
  }
  SequenceCallStorage(const SequenceCallStorage&) = delete;
  SequenceCallStorage& operator=(const SequenceCallStorage&) = delete;

 private:
  void complete(const Options& options);
};

/// The loss's mergeable partial result, for the reduction that the options name: a mean is one of losses per label.
template <class T>
[[nodiscard]] Accumulator accumulate(const CTCLoss& loss, const SequencesView<T>& log_probs, const Transcripts& target,
                                     const Options& options = {}) {
  const SequenceCallStorage storage(loss, log_probs, target, options);
  const Accumulator total = run(storage.call, Output(), nullptr);
  throw_if_bad_label(total, storage.call);
  return total;
}

/// The reduced loss.
template <class T>
[[nodiscard]] double evaluate(const CTCLoss& loss, const SequencesView<T>& log_probs, const Transcripts& target,
                              const Options& options = {}) {
  return accumulate(loss, log_probs, target, options).compute(options.reduction);
}

/// One number per sample.
template <class T, class U, std::size_t N>
void evaluate(const CTCLoss& loss, const SequencesView<T>& log_probs, const Transcripts& target, std::span<U, N> out,
              const Options& options = {}) {
  SequenceCallStorage storage(loss, log_probs, target, options);
  storage.call.by_length = false;
  throw_if_bad_label(run(storage.call, Output(out), nullptr), storage.call);
}

/// The reduced loss; the gradient for the log-probabilities, laid out as they are, goes to `grad`.
template <class T, class U, std::size_t N>
double value_and_gradient(const CTCLoss& loss, const SequencesView<T>& log_probs, const Transcripts& target,
                          std::span<U, N> grad, const Options& options = {}) {
  const SequenceCallStorage storage(loss, log_probs, target, options);
  SequenceGradients wanted;
  wanted.scale = gradient_scale(storage.call, options.reduction);
  wanted.log_probs = Output(grad);
  const Accumulator total = run(storage.call, Output(), &wanted);
  throw_if_bad_label(total, storage.call);
  return total.compute(options.reduction);
}

}  // namespace ndloss
