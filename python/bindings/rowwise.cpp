// Losses and activations of rows of classes.
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"

namespace ndloss::binding {
namespace {

RowKind kind_named(const std::string& name) {
  if (name == NLLLoss::name) {
    return RowKind::nll;
  }
  if (name == CrossEntropyLoss::name) {
    return RowKind::cross_entropy;
  }
  if (name == MultiMarginLoss::name) {
    return RowKind::multi_margin;
  }
  if (name == MultiLabelMarginLoss::name) {
    return RowKind::multilabel_margin;
  }
  throw py::value_error("no loss of rows is called '" + name + "'");
}

/// A call of one loss on some arrays, with everything it refers to.
class BoundRows {
 public:
  BoundRows(const std::string& name, const py::array& input, int axis, const py::object& labels,
            const py::object& probabilities, const std::vector<double>& weight, std::int64_t ignore_index,
            double label_smoothing, bool twice, int threads, const py::object& label_sets, std::int64_t p, double margin,
            const py::object& sample_weight, const py::object& mask)
      : weight_(weight) {
    call_.kind = kind_named(name);
    call_.input = views_.add(input);
    call_.axis = axis;
    call_.labels = views_.add(labels);
    call_.probabilities = views_.add(probabilities);
    call_.weight = weight_;
    call_.ignore_index = ignore_index;
    call_.label_smoothing = label_smoothing;
    call_.label_sets = views_.add(label_sets);
    call_.p = p;
    call_.margin = margin;
    call_.sample_weight = views_.add(sample_weight);
    call_.mask = views_.add(mask);
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.interrupt = signals();
  }
  BoundRows(const BoundRows&) = delete;
  BoundRows& operator=(const BoundRows&) = delete;

  /// The sum over rows [begin, end), added to `initial`.
  Accumulator accumulate(const Accumulator& initial, std::int64_t begin, std::int64_t end) const {
    RowCall call = call_;
    call.initial = initial;
    call.begin = begin;
    call.end = end;
    return without_gil([&] { return ndloss::accumulate(call); });
  }

  /// What a reduction multiplies the gradients by: known from labels and weights alone.
  double scale(const std::string& reduction) const {
    const Reduction kind = reduction == "mean" ? Reduction::mean : Reduction::sum;
    return without_gil([&] { return gradient_scale(call_, kind); });
  }

  Accumulator map(const py::object& out) const {
    Views views;
    const Output output = output_of(out, views);
    return without_gil([&] { return ndloss::map(call_, output); });
  }

  /// `grads`: for input, target, and the parts of rows [begin, end) for the class weights. `curvature`: the second derivative
  /// for the input. The sum of the rows is added to `initial`.
  Accumulator gradients(double scale, const py::object& upstream, const py::tuple& grads, const py::object& value,
                        const py::object& curvature, const std::optional<Accumulator>& initial, std::int64_t begin,
                        std::int64_t end) const {
    Views views;
    RowCall call = call_;
    call.initial = initial.value_or(Accumulator());
    call.begin = begin;
    call.end = end;
    RowGradients wanted;
    wanted.scale = scale;
    wanted.upstream = views.add(upstream);
    wanted.input = output_of(grads[0], views);
    wanted.target = output_of(grads[1], views);
    wanted.weight = output_of(grads[2]);
    wanted.value = output_of(value, views);
    wanted.curvature = output_of(curvature, views);
    return without_gil([&] { return ndloss::gradients(call, wanted); });
  }

 private:
  Views views_;
  std::vector<double> weight_;
  RowCall call_;
};

}  // namespace

void bind_rowwise(py::module_& m) {
  py::class_<BoundRows>(m, "RowCall")
      .def(py::init<const std::string&, const py::array&, int, const py::object&, const py::object&, const std::vector<double>&,
                    std::int64_t, double, bool, int, const py::object&, std::int64_t, double, const py::object&,
                    const py::object&>(),
           py::arg("name"), py::arg("input"), py::arg("axis"), py::arg("labels"), py::arg("probabilities"), py::arg("weight"),
           py::arg("ignore_index"), py::arg("label_smoothing"), py::arg("twice"), py::arg("threads"),
           py::arg("label_sets") = py::none(), py::arg("p") = 1, py::arg("margin") = 1.0, py::arg("sample_weight") = py::none(),
           py::arg("mask") = py::none())
      .def("accumulate", &BoundRows::accumulate, py::arg("initial"), py::arg("begin") = 0, py::arg("end") = -1)
      .def("map", &BoundRows::map, py::arg("out"))
      .def("scale", &BoundRows::scale, py::arg("reduction"))
      .def("gradients", &BoundRows::gradients, py::arg("scale"), py::arg("upstream"), py::arg("grads"), py::arg("value"),
           py::arg("curvature") = py::none(), py::arg("initial") = py::none(), py::arg("begin") = 0, py::arg("end") = -1);
  m.def(
      "activate",
      [](const std::string& name, const py::array& input, int axis, const py::object& upstream, bool twice,
         const py::object& out, int threads) {
        const RowActivation kind = name == "log_softmax" ? RowActivation::log_softmax : RowActivation::softmax;
        Views views;
        const ArrayView* from = views.add(input);
        const ArrayView* g = views.add(upstream);
        const Output output = output_of(out, views);
        without_gil(
            [&] { activate(kind, *from, axis, g, twice ? DType::float64 : DType::float32, output, threads, signals()); });
      },
      py::arg("name"), py::arg("input"), py::arg("axis"), py::arg("upstream"), py::arg("twice"), py::arg("out"),
      py::arg("threads"));
  m.def("row_block", [](const std::string& name, std::int64_t classes) { return row_block(kind_named(name), classes); });
  m.attr("rowwise_names") =
      py::make_tuple(CrossEntropyLoss::name, NLLLoss::name, MultiMarginLoss::name, MultiLabelMarginLoss::name);
}

}  // namespace ndloss::binding
