"""patch2loc watch: lines of the trainings of a run, once or until it is stopped."""

import io
import sys

from patch2loc.commands import main, watch

TABLE = "step,patches,validation_loss,validation_error_mm,patches_per_second,steps,seconds_left\n"
LINE = "patch2loc/T1/fold0  {share} %  8.25 mm  1,250 patches/s  {left} left"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def write(results, step):
    path = results / "models/patch2loc/T1/fold0/progress.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{TABLE}{step},2000,0.75,8.25,1250.0,40,{30 * (40 - step)}.9\n", encoding="utf-8")


def test_trainings_are_printed_once_where_there_is_no_terminal(tmp_path, capsys):
    write(tmp_path, 20)
    assert main(["watch", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{LINE.format(share=50, left='10 min')}\n"


def test_on_a_terminal_lines_are_renewed_until_it_is_stopped(tmp_path, monkeypatch):
    write(tmp_path, 20)
    spans = []

    def sleep(seconds):
        spans.append(seconds)
        if len(spans) == 2:
            raise KeyboardInterrupt
        write(tmp_path, 30)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["watch", str(tmp_path)]) == 0
    lines = (LINE.format(share=50, left="10 min"), LINE.format(share=75, left="5 min"))
    assert terminal.getvalue() == f"{lines[0]}\n\x1b[1F\x1b[J{lines[1]}\n"


def test_a_line_is_not_longer_than_the_terminal_is_wide(tmp_path, monkeypatch):
    write(tmp_path, 20)
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["watch", str(tmp_path)])
    assert terminal.getvalue() == f"{LINE.format(share=50, left='10 min')[:39]}\n"


def test_a_run_without_a_row_and_a_folder_that_is_not_there_are_told_apart(tmp_path, capsys):
    assert main(["watch", str(tmp_path)]) == 0
    assert "no training has written a row yet" in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "none")]) == 1
    assert "none: no such folder found, the results of a run expected" in capsys.readouterr().err


def test_tensorboard_is_asked_for_and_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(["watch", str(tmp_path), "--tensorboard"]) == 1
    assert "pip install tensorboard" in capsys.readouterr().err
