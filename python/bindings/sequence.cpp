// Losses of sequences.
#include <pybind11/stl.h>

#include <vector>

#include "arrays.hpp"
#include "ndloss/sequence.hpp"

namespace ndloss::binding {
namespace {

/// A call of CTC on some arrays, with everything it refers to.
class BoundSequences {
 public:
  BoundSequences(const py::array& log_probs, const py::array& targets, std::vector<std::int64_t> input_lengths,
                 std::vector<std::int64_t> target_lengths, std::int64_t blank, bool zero_infinity, bool twice, int threads)
      : input_lengths_(std::move(input_lengths)), target_lengths_(std::move(target_lengths)) {
    call_.loss = {.blank = blank, .zero_infinity = zero_infinity};
    call_.log_probs = views_.add(log_probs);
    call_.target = {*views_.add(targets), input_lengths_, target_lengths_};
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.interrupt = signals();
  }
  BoundSequences(const BoundSequences&) = delete;
  BoundSequences& operator=(const BoundSequences&) = delete;

  /// The sum over the samples, added to `initial`.
  Accumulator accumulate(const Accumulator& initial, bool by_length) const {
    SequenceCall call = call_;
    call.initial = initial;
    call.by_length = by_length;
    return without_gil([&] { return run(call, Output(), nullptr); });
  }

  Accumulator map(const py::object& out) const {
    const Output output = output_of(out);
    return without_gil([&] { return run(call_, output, nullptr); });
  }

  /// `factor` times the gradient, and `upstream` of every sample.
  Accumulator gradients(bool by_length, double factor, std::vector<double> upstream, const py::object& grad,
                        const py::object& value) const {
    SequenceCall call = call_;
    call.by_length = by_length;
    SequenceGradients wanted;
    wanted.scale = factor;
    wanted.upstream = upstream;
    Views views;
    wanted.log_probs = output_of(grad, views);
    const Output output = output_of(value);
    return without_gil([&] { return run(call, output, &wanted); });
  }

 private:
  Views views_;
  std::vector<std::int64_t> input_lengths_;
  std::vector<std::int64_t> target_lengths_;
  SequenceCall call_;
};

}  // namespace

void bind_sequence(py::module_& m) {
  py::class_<BoundSequences>(m, "SequenceCall")
      .def(py::init<const py::array&, const py::array&, std::vector<std::int64_t>, std::vector<std::int64_t>, std::int64_t,
                    bool, bool, int>(),
           py::arg("log_probs"), py::arg("targets"), py::arg("input_lengths"), py::arg("target_lengths"), py::arg("blank"),
           py::arg("zero_infinity"), py::arg("twice"), py::arg("threads"))
      .def("accumulate", &BoundSequences::accumulate, py::arg("initial"), py::arg("by_length"))
      .def("map", &BoundSequences::map, py::arg("out"))
      .def("gradients", &BoundSequences::gradients, py::arg("by_length"), py::arg("factor"), py::arg("upstream"),
           py::arg("grad"), py::arg("value"));
  m.attr("sequence_names") = py::make_tuple(CTCLoss::name);
}

}  // namespace ndloss::binding
